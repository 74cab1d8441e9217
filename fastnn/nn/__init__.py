"""What a student reads: layers, losses, networks, optimizers."""
