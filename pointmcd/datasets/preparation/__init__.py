"""What makes a prepared set: the job and its workers, the sources of shapes, and the writer of the format."""
