"""The page as a server: who may send requests, which ones, how many, and what a response may contain."""
