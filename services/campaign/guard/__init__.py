"""What came of the contacts of each campaign and of each rule behind it, so that those that do harm are stopped."""
