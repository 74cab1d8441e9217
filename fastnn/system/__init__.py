"""What Python and the operating system are asked for: files, forks, frames."""
