"""Which rules find their moment? Compiled rules, a customer's state, and the steps between them. Pure throughout."""
