"""Android phones over adb: connection, commands, text input, keyboards and screenshots."""
