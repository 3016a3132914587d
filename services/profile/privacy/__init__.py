"""What has a person a right to? To be forgotten, to be told what is held of them, and who has looked at it."""
