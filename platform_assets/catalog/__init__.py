"""Collections: how items become a catalogue that anybody can walk."""
