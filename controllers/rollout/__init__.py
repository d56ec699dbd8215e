"""A deploy from the request to its end: plans, waves of host runs, going back, maintenance of a target."""
