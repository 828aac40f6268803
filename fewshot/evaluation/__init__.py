"""Evaluation on novel classes: tasks, answers, scores."""
