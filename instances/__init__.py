"""The live runtime: real models behind real queues, routed by a learned policy, everything recorded."""
