"""The loop and the people around it. Light: nothing is imported until it is asked for by its module."""
