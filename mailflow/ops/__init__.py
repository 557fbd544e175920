"""What operators see of the service at work: forecasts, times to answer, health, metrics, the status page."""
