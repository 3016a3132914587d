"""What can be asked of notify over HTTP? A router per subject."""
