"""Does a fine-tuned model still reason its way to the answer, or only land on it?"""
