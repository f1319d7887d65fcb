"""What is kept of a served flow's traffic: sampled requests, feedback, and data made of both."""
