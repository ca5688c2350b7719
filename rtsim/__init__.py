"""rtsim predicts the scheduling latency of realtime virtual machines before they are deployed."""
__version__ = "0.1.0"
