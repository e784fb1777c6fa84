"""The facade over HTTP: `Quiver.connect`."""
