"""The whole stack on one machine, for `make up` and `make dev`; everything listens on 127.0.0.1 only."""
