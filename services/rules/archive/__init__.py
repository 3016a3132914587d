"""What lies beyond the log? The history of resolved events as Parquet files, by partition and day.

files        what stands in them, and how they are written, read and rewritten
exporting    from the topic into the folder, from where the last one ended; who was erased is taken out
reading      the folder as the beginning of the log, for a backtest
__main__     `python -m services.rules.archive FOLDER`
"""
