"""The dead-letters pool: keeps every message that was given up on, and tells the end of its job."""

from consumers.dead_letters.dead_letters import DeadLettersPool

pool = DeadLettersPool()
