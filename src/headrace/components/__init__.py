"""What users register, and what their functions see while they run."""
