"""How does the API's description speak of the doors, which FastAPI never sees?"""
