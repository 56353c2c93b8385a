"""The demonstration behind ``make demo``: real events, a real receiver, one endpoint that breaks.

``stack`` starts a broker, a database and a worker of its own; ``scenario`` plays the story on whatever the
settings name; ``checks`` decides whether everything held; ``report`` prints it.
"""
