"""The person's commands, one file each: ask, plan, check, change and publish what the graph has made."""
