"""Convolutional networks and the explanation of neural networks: the course's own library.

Each unit of the course is one module (``gradient_methods``, ``lrp``, ...), written from scratch and meant to be
read. Beside them: ``zoo`` (the drawn data set), ``models`` (small trained networks), ``evaluation`` (scores of an
explanation), ``plotting``, ``exercises`` (the checks of the labs) and ``widgets`` (the explorers).
Import the module that you need; this package itself imports nothing.
"""

__version__ = "0.1.0"
