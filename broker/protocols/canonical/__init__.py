"""What requests and answers mean, whatever dialect they are written in: codecs read into it and write from it."""
