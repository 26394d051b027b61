"""What lies between the Android surface and a phone: adb, its commands, text, keyboards, pictures."""
