"""What a client is made of, under the paths that OpenAI's package has, for whatever wraps methods there."""
