"""What training and prediction share: plugins, preprocessing, trainers, metrics, and the file that a model is.

No pool: `consumers.training` searches and fits, `consumers.prediction` answers. Importing this package imports none
of the heavy libraries; the modules below it do.
"""
