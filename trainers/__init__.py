"""The trainers: make faces blurred, train the models on them, judge the weights."""
