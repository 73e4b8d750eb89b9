"""The workers: each bound to one account, they claim jobs, call the provider, and record what came back."""
