"""How the embedded checkpoint is made: pages rendered, questions with perfect answers, losses, a loop that resumes."""
