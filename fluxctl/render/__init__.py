"""What people see: tables, ages and sizes; never fetches anything."""
