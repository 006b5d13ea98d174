"""The only room that knows AMQP: names, topology, publishing with confirms, consuming, retry tiers, dead letters."""
