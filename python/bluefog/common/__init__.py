"""What the front ends share; needs no deep-learning framework."""
