"""A pipeline as it is written for dkist-processing-core: a science, a movie and a quality flow that meet again."""
