"""What does the law of the recipient's place ask for? A table of rows, ours and the company's, and its judge."""
