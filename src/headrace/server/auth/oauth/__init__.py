"""The authorization server: endpoints, clients, grants, pages."""
