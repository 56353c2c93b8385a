"""The state machine of the engine, a family of rules a module; ``test_state_machine.py`` joins them."""
