# frozen_string_literal: true

Gem::Specification.new do |gem|
  gem.name = "elkapi"
  gem.version = "0.1.0"
  gem.summary = "Client of the ElkAPI chat gateway, over libelkapi"
  gem.authors = ["elkapi contributors"]
  gem.homepage = "https://elkapi.com"
  gem.licenses = ["MIT", "Apache-2.0"]
  gem.files = ["lib/elkapi.rb", "README.md"]
  gem.required_ruby_version = ">= 3.1"
  gem.add_dependency "fiddle", "~> 1.0"
end
