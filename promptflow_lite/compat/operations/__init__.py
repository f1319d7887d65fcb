"""What `PFClient` can do: `client.runs`, `client.flows`, `client.connections`, `client.tools`."""
