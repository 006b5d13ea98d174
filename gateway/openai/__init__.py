"""OpenAI's API over our jobs: what is asked of it becomes a job, and what comes of that is told as OpenAI would."""
