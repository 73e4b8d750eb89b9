"""How a process stands, over HTTP: is it alive, is it ready, and if not, what is missing."""
