"""Workers and a sidecar that are killed, stopped and starved under load: is anything lost, stuck or wrong?"""
