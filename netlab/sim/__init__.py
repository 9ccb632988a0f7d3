"""Nodes and links by the hundred in one process, under virtual time and without rights; read ``simulation`` first."""

from netlab.sim.simulation import Simulation, SimulationError

__all__ = ["Simulation", "SimulationError"]
