"""Seeing motion: pure functions on small luma pictures, none of which remembers anything.

Methods: a running average as background and a threshold in units of each pixel's own measured noise (Wren et al.,
"Pfinder", 1997, with one Gaussian a pixel), connected components, and frame-to-frame differences against ghosts.
"""
