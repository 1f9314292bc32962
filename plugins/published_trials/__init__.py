"""What the published work tried and set aside, so that its claims can be tested again."""
