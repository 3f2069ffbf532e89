"""Plume speed: optical flow and cross-correlation."""
