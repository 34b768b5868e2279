"""Where other programs' pictures come through the pipeline: an element for GStreamer."""
