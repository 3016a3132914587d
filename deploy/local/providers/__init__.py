"""What stands for the outside world on one machine? A mail server and an HTTP gateway speaking the protocols."""
