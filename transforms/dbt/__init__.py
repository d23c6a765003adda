"""The dbt project, read: dbt as a child process, what people declared, and what it comes to."""
