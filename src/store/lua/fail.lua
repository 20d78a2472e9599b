return finish_events('F')
