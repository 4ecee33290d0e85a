"""What goes into the environment of EOPF CPM: what it is made of, and the program that triggers a payload in it."""
