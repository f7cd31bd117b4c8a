"""The app's HTTP routes: a file for each noun."""
